//! Jobs over product files.
