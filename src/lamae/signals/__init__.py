"""ECG signals: resampling, filters, quality of leads, lead identity, quantising."""

from lamae.signals.ecg import preprocess
from lamae.signals.lead_identity import LeadIdentity, check_leads
from lamae.signals.normalise import normalise
from lamae.signals.settings import EcgPreprocessing

__all__ = ["EcgPreprocessing", "LeadIdentity", "check_leads", "normalise", "preprocess"]
