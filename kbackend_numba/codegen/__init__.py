"""Writing machine code: values and loops, functions of floats, fused regions."""
