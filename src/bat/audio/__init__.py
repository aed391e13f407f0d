"""Sound in: decoding and resampling, PCM, front ends."""
