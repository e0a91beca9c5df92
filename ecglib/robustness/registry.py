"""Every disturbance, once: what it is, the unit of its severity, and the usual severities.

The table maps a name to the place of its function below `ecglib.robustness`, as
``module.function``. To add a disturbance, write the function and add an entry here.
"""

import dataclasses
import math
from collections.abc import Mapping
from types import MappingProxyType

# Of the noise stress test (Moody, Muldrow and Mark, Computers in Cardiology 11, 1984).
_SNR_DB = (24.0, 18.0, 12.0, 6.0, 0.0, -6.0)
_MAINS_MV = (0.05, 0.1, 0.2, 0.4)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Disturbance:
    """One way in which a recording is disturbed.

    Parameters
    ----------
    title : str
        What it is, for people.
    function : str
        Place of its function below `ecglib.robustness`. It takes the samples of one window,
        the severity and `ecglib.robustness.conditions.Conditions`.
    unit : str
        Unit of the severity.
    severities : tuple of float
        Usual severities, from mild to severe.
    minimum, maximum : float, default -inf and inf
        The severities that make sense.
    record : str, default ""
        Record of the MIT-BIH Noise Stress Test Database that can replace the synthetic noise.

    Examples
    --------
    >>> DISTURBANCES["muscle_artifact"].record, DISTURBANCES["muscle_artifact"].unit
    ('ma', 'dB SNR')
    """

    title: str
    function: str
    unit: str
    severities: tuple[float, ...]
    minimum: float = -math.inf
    maximum: float = math.inf
    record: str = ""


#: Name -> disturbance: what it is, the unit of its severity, and the usual severities.
DISTURBANCES: Mapping[str, Disturbance] = MappingProxyType(
    {
        "white_noise": Disturbance(
            title="White noise",
            function="noise.add_white_noise",
            unit="dB SNR",
            severities=_SNR_DB,
        ),
        "baseline_wander": Disturbance(
            title="Baseline wander",
            function="noise.add_baseline_wander",
            unit="dB SNR",
            severities=_SNR_DB,
            record="bw",
        ),
        "muscle_artifact": Disturbance(
            title="Muscle artifact",
            function="noise.add_muscle_artifact",
            unit="dB SNR",
            severities=_SNR_DB,
            record="ma",
        ),
        "electrode_motion": Disturbance(
            title="Electrode motion",
            function="noise.add_electrode_motion",
            unit="dB SNR",
            severities=_SNR_DB,
            record="em",
        ),
        "mains_50hz": Disturbance(
            title="Mains hum at 50 Hz",
            function="recorder.add_mains_50hz",
            unit="mV amplitude",
            severities=_MAINS_MV,
            minimum=0.0,
        ),
        "mains_60hz": Disturbance(
            title="Mains hum at 60 Hz",
            function="recorder.add_mains_60hz",
            unit="mV amplitude",
            severities=_MAINS_MV,
            minimum=0.0,
        ),
        "gain_error": Disturbance(
            title="Gain error",
            function="recorder.change_gain",
            unit="% of the amplitude",
            severities=(5.0, 10.0, 20.0, 40.0),
            minimum=0.0,
            maximum=100.0,
        ),
        "sampling_rate_error": Disturbance(
            title="Sampling rate error",
            function="recorder.stretch_time",
            unit="% longer waves",
            severities=(1.0, 2.0, 5.0, 10.0),
            minimum=0.0,
            maximum=100.0,
        ),
        "lower_sampling_rate": Disturbance(
            title="Lower sampling rate",
            function="recorder.lower_rate",
            unit="times fewer samples",
            severities=(2.0, 4.0, 8.0),
            minimum=1.0,
        ),
        "clipping": Disturbance(
            title="Clipping",
            function="recorder.clip",
            unit="mV at which it clips",
            severities=(1.0, 0.5, 0.25, 0.1),
            minimum=0.0,
        ),
        "arm_reversal": Disturbance(
            title="Electrodes of the arms reversed",
            function="leads.reverse_arms",
            unit="% of the windows",
            severities=(100.0,),
            minimum=0.0,
            maximum=100.0,
        ),
        "lost_leads": Disturbance(
            title="Lost leads",
            function="leads.lose_leads",
            unit="leads at 0 mV",
            severities=(1.0, 2.0, 3.0, 6.0, 9.0),
            minimum=0.0,
        ),
        "shorter_window": Disturbance(
            title="Shorter window",
            function="recorder.shorten",
            unit="% of the window missing",
            severities=(25.0, 50.0, 75.0),
            minimum=0.0,
            maximum=100.0,
        ),
    }
)
