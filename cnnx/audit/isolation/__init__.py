"""A back end in a process of its own that never holds the truth; to the audit it is one more back end.

child       what runs there: it loads the back end and runs kernels, and imports neither the reference nor the audit
arena       the memory that both share, with guard pages; process: starting and asking; words: what went wrong
contracts   the same of functions by contract; recorded: what stands for the audit where their files run
proxies     kernels that run there; candidate: which back ends can be loaded there
timing      how fast one is, by the clock of this process, on inputs that it has never seen, all of them judged
"""

from .candidate import Candidate as Candidate
from .candidate import candidate as candidate
from .contracts import isolated_file as isolated_file
from .contracts import isolated_kernels as isolated_kernels
from .process import LoadError as LoadError
from .proxies import hunting as hunting
from .proxies import is_isolated as is_isolated
from .proxies import isolated as isolated
