from hgq2_layers.activations.hard_sigmoid import QHardSigmoid as QHardSigmoid
from hgq2_layers.activations.piecewise_linear import QHardTanh as QHardTanh
from hgq2_layers.activations.piecewise_linear import QLeakyReLU as QLeakyReLU
from hgq2_layers.activations.piecewise_linear import QPReLU as QPReLU
from hgq2_layers.activations.piecewise_linear import QReLU as QReLU
from hgq2_layers.activations.unary_function import QAffineUnaryFunction as QAffineUnaryFunction
from hgq2_layers.activations.unary_function import QUnaryFunction as QUnaryFunction
from hgq2_layers.convolutional.conv import QConv1D as QConv1D
from hgq2_layers.convolutional.conv import QConv2D as QConv2D
from hgq2_layers.convolutional.conv import QConv3D as QConv3D
from hgq2_layers.convolutional.conv_transpose import QConv1DTranspose as QConv1DTranspose
from hgq2_layers.convolutional.conv_transpose import QConv2DTranspose as QConv2DTranspose
from hgq2_layers.convolutional.conv_transpose import QConv3DTranspose as QConv3DTranspose
from hgq2_layers.convolutional.depthwise import QDepthwiseConv1D as QDepthwiseConv1D
from hgq2_layers.convolutional.depthwise import QDepthwiseConv2D as QDepthwiseConv2D
from hgq2_layers.convolutional.depthwise import QSeparableConv1D as QSeparableConv1D
from hgq2_layers.convolutional.depthwise import QSeparableConv2D as QSeparableConv2D
from hgq2_layers.core.dense import QDense as QDense
from hgq2_layers.core.einsum_dense import QEinsumDense as QEinsumDense
from hgq2_layers.core.embedding import QEmbedding as QEmbedding
from hgq2_layers.core.quantize import QQuantize as QQuantize
from hgq2_layers.lut.conv_lut import QConv1DLUT as QConv1DLUT
from hgq2_layers.lut.conv_lut import QConv2DLUT as QConv2DLUT
from hgq2_layers.lut.dense_lut import QDenseLUT as QDenseLUT
from hgq2_layers.lut.einsum_dense_lut import QEinsumDenseLUT as QEinsumDenseLUT
from hgq2_layers.merging.average import QAverage as QAverage
from hgq2_layers.merging.concatenate import QConcatenate as QConcatenate
from hgq2_layers.merging.contraction import QDot as QDot
from hgq2_layers.merging.contraction import QEinsum as QEinsum
from hgq2_layers.merging.elementwise import QAdd as QAdd
from hgq2_layers.merging.elementwise import QAveragePow2 as QAveragePow2
from hgq2_layers.merging.elementwise import QMaximum as QMaximum
from hgq2_layers.merging.elementwise import QMinimum as QMinimum
from hgq2_layers.merging.elementwise import QMultiply as QMultiply
from hgq2_layers.merging.elementwise import QSubtract as QSubtract
from hgq2_layers.normalization.batch_norm_dense import QBatchNormDense as QBatchNormDense
from hgq2_layers.normalization.batch_normalization import QBatchNormalization as QBatchNormalization
from hgq2_layers.normalization.constant_scaling import QNormalization as QNormalization
from hgq2_layers.normalization.constant_scaling import QRescaling as QRescaling
from hgq2_layers.normalization.conv_batch_norm import QConv1DBatchNorm as QConv1DBatchNorm
from hgq2_layers.normalization.conv_batch_norm import QConv2DBatchNorm as QConv2DBatchNorm
from hgq2_layers.normalization.conv_batch_norm import QConv3DBatchNorm as QConv3DBatchNorm
from hgq2_layers.normalization.conv_transpose_batch_norm import QConv1DTransposeBatchNorm as QConv1DTransposeBatchNorm
from hgq2_layers.normalization.conv_transpose_batch_norm import QConv2DTransposeBatchNorm as QConv2DTransposeBatchNorm
from hgq2_layers.normalization.conv_transpose_batch_norm import QConv3DTransposeBatchNorm as QConv3DTransposeBatchNorm
from hgq2_layers.normalization.dense_batch_norm import QDenseBatchNorm as QDenseBatchNorm
from hgq2_layers.normalization.depthwise_conv_batch_norm import QDepthwiseConv1DBatchNorm as QDepthwiseConv1DBatchNorm
from hgq2_layers.normalization.depthwise_conv_batch_norm import QDepthwiseConv2DBatchNorm as QDepthwiseConv2DBatchNorm
from hgq2_layers.normalization.einsum_dense_batch_norm import QEinsumDenseBatchNorm as QEinsumDenseBatchNorm
from hgq2_layers.normalization.group_normalization import QGroupNormalization as QGroupNormalization
from hgq2_layers.normalization.layer_normalization import QLayerNormalization as QLayerNormalization
from hgq2_layers.normalization.rms_normalization import QRMSNormalization as QRMSNormalization
from hgq2_layers.operations.operation import QOperation as QOperation
from hgq2_layers.operations.sum import QMeanPow2 as QMeanPow2
from hgq2_layers.operations.sum import QSum as QSum
from hgq2_layers.pooling.average_pooling import QAveragePooling1D as QAveragePooling1D
from hgq2_layers.pooling.average_pooling import QAveragePooling2D as QAveragePooling2D
from hgq2_layers.pooling.average_pooling import QAveragePooling3D as QAveragePooling3D
from hgq2_layers.pooling.average_pooling import QGlobalAveragePooling2D as QGlobalAveragePooling2D
from hgq2_layers.pooling.average_pooling import QGlobalAveragePooling3D as QGlobalAveragePooling3D
from hgq2_layers.pooling.masked_average import QGlobalAveragePooling1D as QGlobalAveragePooling1D
from hgq2_layers.pooling.max_pooling import QGlobalMaxPooling1D as QGlobalMaxPooling1D
from hgq2_layers.pooling.max_pooling import QGlobalMaxPooling2D as QGlobalMaxPooling2D
from hgq2_layers.pooling.max_pooling import QGlobalMaxPooling3D as QGlobalMaxPooling3D
from hgq2_layers.pooling.max_pooling import QMaxPooling1D as QMaxPooling1D
from hgq2_layers.pooling.max_pooling import QMaxPooling2D as QMaxPooling2D
from hgq2_layers.pooling.max_pooling import QMaxPooling3D as QMaxPooling3D
from hgq2_layers.rnn.gru import QGRU as QGRU
from hgq2_layers.rnn.gru import QGRUCell as QGRUCell
from hgq2_layers.rnn.lstm import QLSTM as QLSTM
from hgq2_layers.rnn.lstm import QLSTMCell as QLSTMCell
from hgq2_layers.rnn.simple_rnn import QSimpleRNN as QSimpleRNN
from hgq2_layers.rnn.simple_rnn import QSimpleRNNCell as QSimpleRNNCell
from hgq2_layers.spiking.cell import QIntegrateAndFireCell as QIntegrateAndFireCell
from hgq2_layers.spiking.cell import QLeakyIntegrateAndFireCell as QLeakyIntegrateAndFireCell
from hgq2_layers.spiking.integrate_and_fire import QIntegrateAndFire as QIntegrateAndFire
from hgq2_layers.spiking.integrate_and_fire import QLeakyIntegrateAndFire as QLeakyIntegrateAndFire

QAvgPool1D = QAveragePooling1D
QAvgPool2D = QAveragePooling2D
QAvgPool3D = QAveragePooling3D
QConvolution1D = QConv1D
QConvolution1DTranspose = QConv1DTranspose
QConvolution2D = QConv2D
QConvolution2DTranspose = QConv2DTranspose
QConvolution3D = QConv3D
QConvolution3DTranspose = QConv3DTranspose
QGlobalAvgPool1D = QGlobalAveragePooling1D
QGlobalAvgPool2D = QGlobalAveragePooling2D
QGlobalAvgPool3D = QGlobalAveragePooling3D
QGlobalMaxPool1D = QGlobalMaxPooling1D
QGlobalMaxPool2D = QGlobalMaxPooling2D
QGlobalMaxPool3D = QGlobalMaxPooling3D
QMaxPool1D = QMaxPooling1D
QMaxPool2D = QMaxPooling2D
QMaxPool3D = QMaxPooling3D
QSeparableConvolution1D = QSeparableConv1D
QSeparableConvolution2D = QSeparableConv2D

__version__: str
