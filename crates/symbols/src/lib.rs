//! What an address is called.
