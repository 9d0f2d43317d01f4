// Debian's libdbus-1.a asks libsystemd, of which there is no archive, for the sockets that a D-Bus
// server is started with. Darse is a client and never has any.
extern "C" {
int sd_listen_fds(int unset_environment);
int sd_is_socket(int fd, int family, int type, int listening);

int sd_listen_fds(int) { return 0; }
int sd_is_socket(int, int, int, int) { return 0; }
}
