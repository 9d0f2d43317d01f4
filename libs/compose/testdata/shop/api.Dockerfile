FROM scratch AS runtime
