//! Domain types of the flow and their Avro wire form.
