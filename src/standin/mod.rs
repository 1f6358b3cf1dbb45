//! The outside world for the demo, the tests and vendors: a stand-in web application and
//! simulated terminals, and the oracle that compares what the two of them saw. Nothing else in the
//! program uses it.

pub mod oracle;
pub mod sim;
pub mod sink;
