"""The parameters of an experiment: read, validated and cut into what each stage sees.

``params.yaml`` is the only place for scientific settings. :func:`load` turns it into
:class:`Params`; :class:`bat.workflow.Plan` hands each stage its own settings.
An unknown key, a wrong type or a reference to something undefined is an error that names the key,
what was found and what is allowed.
"""

from bat.params.experiment import BASELINE, FINETUNE, Params, load, parse

__all__ = ["BASELINE", "FINETUNE", "Params", "load", "parse"]
