"""Kernels in Triton for NVIDIA GPUs, one file a family: a kernel, and beside it the call that hands tensors to it.

Importing a file of this package needs no Triton and no device; launching a kernel does. Each stands beside an eager
kernel of `nautilus_metal.kernels`; `engine` decides which of the two is used.
"""
