"""Which instrument leads a three-second clip: IRMAS audio in, a convolutional network out."""
