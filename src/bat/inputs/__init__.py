"""What an encoder is fed: cached spectrograms, or waveforms rendered anew at every step."""
