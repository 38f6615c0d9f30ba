"""Normalization by batch statistics, alone and fused into a kernel and a bias."""
