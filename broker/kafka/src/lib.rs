//! What brokers and operator share about Kafka: topic names, record formats, the directory,
//! provisioning. No topic name or record layout is written anywhere else.

pub mod directory;
pub mod names;
