"""How an export is compared with its test vectors: in each flavor a bench, a script, and the tools that it needs."""
