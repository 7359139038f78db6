"""Layers: what models are made of. Each is imported when it is first asked for."""

from kbackend.base.lazy import attach

# A block for each family: public name -> where it lives.
_TARGETS: dict[str, str] = {
    # base
    "InputSpec": "kbackend.layers.input_spec:InputSpec",
    "Layer": "kbackend.layers.layer:Layer",
    # core
    "Dense": "kbackend.layers.core.dense:Dense",
    "Input": "kbackend.layers.core.input_layer:Input",
    "InputLayer": "kbackend.layers.core.input_layer:InputLayer",
    # reshaping
    "Flatten": "kbackend.layers.reshaping.flatten:Flatten",
    # convolutional
    "Conv1D": "kbackend.layers.convolutional.conv:Conv1D",
    "Conv1DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv1DTranspose",
    "Conv2D": "kbackend.layers.convolutional.conv:Conv2D",
    "Conv2DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv2DTranspose",
    "Conv3D": "kbackend.layers.convolutional.conv:Conv3D",
    "Conv3DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv3DTranspose",
    "Convolution1D": "kbackend.layers.convolutional.conv:Conv1D",
    "Convolution1DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv1DTranspose",
    "Convolution2D": "kbackend.layers.convolutional.conv:Conv2D",
    "Convolution2DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv2DTranspose",
    "Convolution3D": "kbackend.layers.convolutional.conv:Conv3D",
    "Convolution3DTranspose": "kbackend.layers.convolutional.conv_transpose:Conv3DTranspose",
    "DepthwiseConv1D": "kbackend.layers.convolutional.depthwise_conv:DepthwiseConv1D",
    "DepthwiseConv2D": "kbackend.layers.convolutional.depthwise_conv:DepthwiseConv2D",
    "SeparableConv1D": "kbackend.layers.convolutional.separable_conv:SeparableConv1D",
    "SeparableConv2D": "kbackend.layers.convolutional.separable_conv:SeparableConv2D",
    "SeparableConvolution1D": "kbackend.layers.convolutional.separable_conv:SeparableConv1D",
    "SeparableConvolution2D": "kbackend.layers.convolutional.separable_conv:SeparableConv2D",
    # pooling
    "AdaptiveAveragePooling1D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveAveragePooling1D",
    "AdaptiveAveragePooling2D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveAveragePooling2D",
    "AdaptiveAveragePooling3D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveAveragePooling3D",
    "AdaptiveMaxPooling1D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveMaxPooling1D",
    "AdaptiveMaxPooling2D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveMaxPooling2D",
    "AdaptiveMaxPooling3D": "kbackend.layers.pooling.adaptive_pooling:AdaptiveMaxPooling3D",
    "AveragePooling1D": "kbackend.layers.pooling.pooling:AveragePooling1D",
    "AveragePooling2D": "kbackend.layers.pooling.pooling:AveragePooling2D",
    "AveragePooling3D": "kbackend.layers.pooling.pooling:AveragePooling3D",
    "AvgPool1D": "kbackend.layers.pooling.pooling:AveragePooling1D",
    "AvgPool2D": "kbackend.layers.pooling.pooling:AveragePooling2D",
    "AvgPool3D": "kbackend.layers.pooling.pooling:AveragePooling3D",
    "GlobalAveragePooling1D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling1D",
    "GlobalAveragePooling2D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling2D",
    "GlobalAveragePooling3D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling3D",
    "GlobalAvgPool1D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling1D",
    "GlobalAvgPool2D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling2D",
    "GlobalAvgPool3D": "kbackend.layers.pooling.global_pooling:GlobalAveragePooling3D",
    "GlobalMaxPool1D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling1D",
    "GlobalMaxPool2D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling2D",
    "GlobalMaxPool3D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling3D",
    "GlobalMaxPooling1D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling1D",
    "GlobalMaxPooling2D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling2D",
    "GlobalMaxPooling3D": "kbackend.layers.pooling.global_pooling:GlobalMaxPooling3D",
    "MaxPool1D": "kbackend.layers.pooling.pooling:MaxPooling1D",
    "MaxPool2D": "kbackend.layers.pooling.pooling:MaxPooling2D",
    "MaxPool3D": "kbackend.layers.pooling.pooling:MaxPooling3D",
    "MaxPooling1D": "kbackend.layers.pooling.pooling:MaxPooling1D",
    "MaxPooling2D": "kbackend.layers.pooling.pooling:MaxPooling2D",
    "MaxPooling3D": "kbackend.layers.pooling.pooling:MaxPooling3D",
    # normalization
    "BatchNormalization": "kbackend.layers.normalization.batch_normalization:BatchNormalization",
    "GroupNormalization": "kbackend.layers.normalization.group_normalization:GroupNormalization",
    "LayerNormalization": "kbackend.layers.normalization.layer_normalization:LayerNormalization",
    "RMSNormalization": "kbackend.layers.normalization.rms_normalization:RMSNormalization",
    "SpectralNormalization": "kbackend.layers.normalization.spectral_normalization:SpectralNormalization",
    "UnitNormalization": "kbackend.layers.normalization.unit_normalization:UnitNormalization",
    # regularization
    "Dropout": "kbackend.layers.regularization.dropout:Dropout",
    # activations
    "Activation": "kbackend.layers.activations.activation:Activation",
}

__getattr__, __dir__ = attach(__name__, _TARGETS)

# Read by `from kbackend.layers import *`, which imports everything.
__all__ = [*_TARGETS]  # noqa: PLE0604 (the names are strings)
