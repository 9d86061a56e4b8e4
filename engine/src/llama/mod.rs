//! Under construction.

#![allow(unsafe_code)]

pub mod quantize;
