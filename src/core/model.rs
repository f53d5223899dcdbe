//! Model checks of the lending protocol under loom.
