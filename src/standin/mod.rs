//! The outside world for the demo, the tests and vendors: a stand-in web application and
//! simulated terminals. Nothing else in the program uses it.

pub mod sim;
pub mod sink;
