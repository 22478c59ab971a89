// What the pages do better with a script; without it their links do the same.
"use strict";
for (const states of document.querySelectorAll(".states")) {
  const all = [...states.querySelectorAll(".state")];
  const nav = states.parentElement.querySelector(".calls");
  // An element without a jump of the page, and the call that it belongs to.
  function show(state, focus) {
    states.classList.add("scripted");
    for (const other of all) other.classList.toggle("on", other === state);
    if (nav) {
      for (const link of nav.querySelectorAll("a")) {
        if (link.dataset.call === state.dataset.call) link.setAttribute("aria-current", "true");
        else link.removeAttribute("aria-current");
      }
    }
    const cell = focus && state.querySelector(".plane a[aria-current]");
    if (cell) cell.focus({ preventScroll: true });
  }
  function go(event, link) {
    const state = document.getElementById(link.getAttribute("href").slice(1));
    if (!state || !all.includes(state)) return;
    event.preventDefault();
    history.replaceState(null, "", link.getAttribute("href"));
    show(state, states.contains(link));
  }
  states.parentElement.addEventListener("click", (event) => {
    const link = event.target.closest("a[href^='#']");
    if (link) go(event, link);
  });
  // Arrows walk over the output's elements: the link in that direction that is nearest.
  states.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [1, 0], ArrowLeft: [-1, 0], ArrowDown: [0, 1], ArrowUp: [0, -1] }[event.key];
    const link = step && event.target.closest(".plane a");
    if (!link) return;
    const place = (a) => ["x", "y"].map((side) => Number(a.querySelector("rect.go").getAttribute(side)));
    const size = ["width", "height"].map((side) => Number(link.querySelector("rect.go").getAttribute(side)));
    const [x, y] = place(link).map((at, i) => at + step[i] * size[i]);
    const next = [...link.closest("svg").querySelectorAll("a")].find((a) => place(a)[0] === x && place(a)[1] === y);
    if (next) go(event, next);
  });
  const named = () => all.find((state) => `#${state.id}` === location.hash);
  show(named() || states.querySelector(".state.first") || all[0], false);
  addEventListener("hashchange", () => named() && show(named(), false));
}
// A symbol's lines light up together.
for (const link of document.querySelectorAll("a[data-symbol]")) {
  const links = [...link.closest("tr").querySelectorAll("a[data-symbol]")];
  const lines = links.map((a) => document.getElementById(a.hash.slice(1)));
  const light = (on) => lines.forEach((line) => line && line.classList.toggle("lit", on));
  link.addEventListener("mouseenter", () => light(true));
  link.addEventListener("mouseleave", () => light(false));
}
for (const program of document.querySelectorAll("pre.copy")) {
  const button = document.createElement("button");
  button.className = "copy";
  button.textContent = program.dataset.copy;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(program.querySelector("code").textContent);
    button.textContent = program.dataset.copied;
  });
  program.before(button);
}
