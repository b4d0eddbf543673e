//! Launches, rates, the kill switch and status, on the control and status topics.
