"""Stands in for rules_proto where there is no network: the native rules."""

proto_lang_toolchain = native.proto_lang_toolchain
proto_library = native.proto_library
