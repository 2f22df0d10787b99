"""Calibration: one monotone map per objective, fitted on validation days and saved with the run. It knows no torch."""

from recsys.calibration.calibrate_file import calibrate_file, read
from recsys.calibration.calibration import LEAST, Calibration, Fitted, fit, is_calibrated, uncalibrated
from recsys.calibration.maps import MOST_BINS, Isotonic, Platt, fit_expected, fit_isotonic, fit_platt

__all__ = [
    "LEAST",
    "MOST_BINS",
    "Calibration",
    "Fitted",
    "Isotonic",
    "Platt",
    "calibrate_file",
    "fit",
    "fit_expected",
    "fit_isotonic",
    "fit_platt",
    "is_calibrated",
    "read",
    "uncalibrated",
]
