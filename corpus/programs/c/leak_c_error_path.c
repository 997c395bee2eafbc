/* A parser that frees what it made at its end, but for one of its errors, where it returns early. */
#include "corpus.h"

enum { FIELDS = 4 };

struct record {
    char *fields[FIELDS];
};

static void record_clear(struct record *record) {
    for (int at = 0; at < FIELDS; at++) free(record->fields[at]);
}

static char *copy_field(const char *from, size_t length) {
    char *field = malloc(length + 1); // leaks: copy_field | parse_record
    if (!field) return NULL;
    memcpy(field, from, length);
    field[length] = 0;
    return field;
}

static int parse_record(const char *line, size_t field_bytes) {
    struct record record = {{0}};
    for (int at = 0; at < FIELDS; at++) {
        record.fields[at] = copy_field(line + (size_t)at * field_bytes, field_bytes); // leaks: parse_record
        if (!record.fields[at]) break;
    }
    /* A line without its mark is refused; the fields are not given back. */
    if (line[0] == '?') return -1;
    int sum = 0;
    for (int at = 0; at < FIELDS; at++) sum += record.fields[at] ? record.fields[at][0] : 0;
    record_clear(&record);
    return sum;
}

int main(int argc, char **argv) {
    corpus_start(argc, argv);
    double refused = corpus_log_uniform("refused", 0.0005, 0.01);
    double refused_per_s = corpus_log_uniform("refused_per_s", 1, 100);
    size_t field_bytes = (size_t)corpus_log_uniform("field_bytes", 75, 2500);
    double lines_per_s = refused_per_s / refused, most = 60e6 / (FIELDS * (double)field_bytes);
    if (lines_per_s > most) lines_per_s = most;
    if (lines_per_s > 20000) lines_per_s = 20000;
    corpus_announce(argv[0], 1);
    static char line[FIELDS * 4096];
    volatile int sum = 0;
    for (;;) {
        corpus_wait(lines_per_s);
        memset(line, 'a' + (int)corpus_below(26), FIELDS * field_bytes);
        line[0] = corpus_part() < refused ? '?' : '!';
        sum += parse_record(line, field_bytes);
    }
}
