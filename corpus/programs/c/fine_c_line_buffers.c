/* Connections read lines into buffers that grow with the longest line and go with the connection; all are replaced
 * several times. */
#include "corpus.h"

struct connection {
    char *line;
    size_t room;
};

static void read_line(struct connection *connection, size_t length) {
    if (length + 1 > connection->room) {
        size_t room = connection->room ? connection->room : 64;
        while (room < length + 1) room *= 2;
        char *line = realloc(connection->line, room);
        if (!line) abort();
        connection->line = line;
        connection->room = room;
    }
    memset(connection->line, 'x', length);
    connection->line[length] = 0;
}

static void hang_up(struct connection *connection) {
    free(connection->line);
    *connection = (struct connection){0};
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    size_t count = (size_t)corpus_log_uniform("connections", 20, 1000);
    size_t longest = (size_t)corpus_log_uniform("line_bytes_max", 200, 20000);
    double renewals = corpus_uniform("renewals_of_each", 4, 30);
    corpus_announce(argv[0], 0);
    struct connection *connections = calloc(count, sizeof *connections);
    if (!connections) return 1;
    double hang_ups_per_s = (double)count * renewals / corpus_length_s, lines_per_s = hang_ups_per_s * 8;
    if (lines_per_s < 100) lines_per_s = 100;
    for (;;) {
        corpus_wait(lines_per_s);
        struct connection *connection = &connections[corpus_below(count)];
        if (corpus_part() < hang_ups_per_s / lines_per_s) hang_up(connection);
        read_line(connection, (size_t)((double)longest * pow(corpus_part(), 4)));
    }
}
