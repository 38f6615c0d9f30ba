"""What every quantized layer is built on: `QLayer`, argument annotations, adapters of Keras layers, weight transfer.

Arguments are resolved on the way in; constants, cost and exact arithmetic are what a layer gives to the rooms above.
"""
