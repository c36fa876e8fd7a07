from .outcome import EXIT_STOPPED as EXIT_STOPPED
from .outcome import LaunchFailed as LaunchFailed
from .outcome import Reporting as Reporting
from .outcome import Stopped as Stopped
from .torchrun import Limits as Limits
from .torchrun import Placement as Placement
from .torchrun import heartbeat as heartbeat
from .torchrun import launch_ranks as launch_ranks
