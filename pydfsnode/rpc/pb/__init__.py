"""Generated protobuf code (make proto); dfs.proto is the schema, ttrpc.proto the frame envelope."""
