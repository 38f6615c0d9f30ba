"""A module whose import ends the program, if it is let."""

import sys

sys.exit("this module cannot be imported")
