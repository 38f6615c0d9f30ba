"""Files of C++ and Python that are copied beside an emulator as they are: they depend on nothing."""
