"""The encoder, the pretraining decoders and the tokens that pass between encoder and probes."""
