/* What every program in C and C++ begins with: arguments, parameters, and its pace. Nothing here keeps memory. */
#ifndef CORPUS_H
#define CORPUS_H

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static uint64_t corpus_seed = 1, corpus_state;
static double corpus_length_s = 60;
static double corpus_begun_s, corpus_due_s;
static char corpus_parameters[1024];

static inline uint64_t corpus_random(void) {
    uint64_t z = (corpus_state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* Below `end`. */
static inline uint64_t corpus_below(uint64_t end) { return corpus_random() % end; }

/* From 0 to 1. */
static inline double corpus_part(void) { return (double)(corpus_random() >> 11) / 9007199254740992.0; }

static inline double corpus_now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static inline void corpus_start(int argc, char **argv) {
    for (int at = 1; at < argc; at += 2) {
        if (at + 1 < argc && strcmp(argv[at], "--seed") == 0) {
            corpus_seed = strtoull(argv[at + 1], NULL, 10);
        } else if (at + 1 < argc && strcmp(argv[at], "--length-s") == 0) {
            corpus_length_s = strtod(argv[at + 1], NULL);
        } else {
            fprintf(stderr, "`%s` is not understood: --length-s SECONDS, --seed NUMBER\n", argv[at]);
            exit(64);
        }
    }
    corpus_state = corpus_seed;
}

static inline double corpus_keep(const char *name, double value) {
    size_t length = strlen(corpus_parameters);
    snprintf(corpus_parameters + length, sizeof corpus_parameters - length, "%s\"%s\":%.3f", length ? "," : "", name,
             value);
    return value;
}

/* A parameter, each size of it as likely as the next. */
static inline double corpus_uniform(const char *name, double low, double high) {
    return corpus_keep(name, low + corpus_part() * (high - low));
}

/* A parameter, each order of magnitude as likely as the next. */
static inline double corpus_log_uniform(const char *name, double low, double high) {
    return corpus_keep(name, low * pow(high / low, corpus_part()));
}

/* A time that is a part of the observation. */
static inline double corpus_part_of_length(const char *name, double low, double high) {
    return corpus_uniform(name, low * corpus_length_s, high * corpus_length_s);
}

static inline double corpus_leak_bytes_per_s(void) { return corpus_log_uniform("leak_bytes_per_s", 300, 1e6); }

/* How large one object of such a leak is: at least two objects leak each second. */
static inline size_t corpus_object_bytes(double bytes_per_s) {
    double largest = bytes_per_s / 2 < 48 ? 48 : bytes_per_s / 2 > 8192 ? 8192 : bytes_per_s / 2;
    return (size_t)corpus_log_uniform("object_bytes", 24, largest);
}

/* Says the parameters; from here on time runs. */
static inline void corpus_announce(const char *path, int leaks) {
    const char *name = strrchr(path, '/');
    printf("{\"program\":\"%s\",\"leaks\":%s,\"seed\":%llu,\"length_s\":%.3f,\"parameters\":{%s}}\n",
           name ? name + 1 : path, leaks ? "true" : "false", (unsigned long long)corpus_seed, corpus_length_s,
           corpus_parameters);
    fflush(stdout);
    corpus_begun_s = corpus_due_s = corpus_now_s();
}

/* Waits for the next of so many turns per second; what was missed for long is left out. */
static inline void corpus_wait(double turns_per_s) {
    double now = corpus_now_s();
    corpus_due_s += 1 / turns_per_s;
    if (corpus_due_s < now - 0.5) corpus_due_s = now - 0.5;
    double ahead = corpus_due_s - now;
    if (ahead > 0.004) {
        struct timespec sleep = {(time_t)ahead, (long)((ahead - (double)(time_t)ahead) * 1e9)};
        nanosleep(&sleep, NULL);
    }
}

#endif
