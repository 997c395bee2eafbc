/* Points of a track in one array that is made twice as large whenever it is full, beside buffers that come and go. */
#include "corpus.h"

struct point {
    float x, y;
    uint32_t at_ms, flags;
};

struct track {
    struct point *points;
    size_t count, room;
};

static int track_append(struct track *track, struct point point) {
    if (track->count == track->room) {
        size_t room = track->room ? track->room * 2 : 16;
        struct point *points = realloc(track->points, room * sizeof *points); // leaks: track_append
        if (!points) return -1;
        track->points = points;
        track->room = room;
    }
    track->points[track->count++] = point;
    return 0;
}

static uint32_t render(size_t width) {
    uint32_t *line = calloc(width, sizeof *line);
    if (!line) return 0;
    for (size_t at = 0; at < width; at++) line[at] = (uint32_t)corpus_random();
    uint32_t middle = line[width / 2];
    free(line);
    return middle;
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double rate = corpus_leak_bytes_per_s();
    size_t width = (size_t)corpus_log_uniform("width", 64, 4096);
    corpus_announce(argv[0], 1);
    struct track track = {0};
    volatile uint32_t drawn = 0;
    uint64_t every = (uint64_t)(rate / 16 / 200) + 1;
    for (uint64_t number = 0;; number++) {
        corpus_wait(rate / sizeof(struct point));
        struct point point = {(float)corpus_part(), (float)corpus_part(), (uint32_t)number, 0};
        if (track_append(&track, point) != 0) return 1;
        if (number % every == 0) drawn += render(width);
    }
}
