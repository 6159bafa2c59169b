"""One file per technology. The only room that touches files, clocks, sockets, processes and the environment."""
