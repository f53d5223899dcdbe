#![cfg(feature = "tls")]
