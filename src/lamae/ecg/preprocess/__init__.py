"""ECG preprocessing: resampling, filtering, lead quality, lead identity, quantisation, normalisation."""

from lamae.ecg.preprocess.lead_identity import LeadIdentity, check_leads
from lamae.ecg.preprocess.normalise import normalise
from lamae.ecg.preprocess.settings import EcgPreprocessing
from lamae.ecg.preprocess.study import preprocess

__all__ = ["EcgPreprocessing", "LeadIdentity", "check_leads", "normalise", "preprocess"]
