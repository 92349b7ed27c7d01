"""A real Triton server without a container, from the wheel `nvidia-pytriton`."""
