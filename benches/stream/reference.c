/* A reference for memory bandwidth, in the way STREAM counts: sums, copies and triads over arrays
 * of double, bytes of all arrays named in the loop, stores counted once. Own code, so that its
 * results may be named.
 *
 *     cc -O3 -march=native -pthread reference.c -o reference
 *     ./reference THREADS BYTES SECONDS KERNEL      KERNEL: read, copy or triad
 *
 * BYTES is what all arrays of all threads hold together. Each thread is bound to the CPU of its
 * number, touches its part first, and asks for huge pages as the measured program does. Prints the
 * median rate of whole passes in bytes per second: total bytes over the time from the first
 * thread's start to the last one's end.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { MOST_PASSES = 4096, MOST_THREADS = 1024 };

static int threads, arrays;
static long length;
static double seconds;
static char kernel;
static pthread_barrier_t barrier;
static double starts[MOST_THREADS], ends[MOST_THREADS], rates[MOST_PASSES], sums[MOST_THREADS];
static int passes, over;

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec * 1e-9;
}

static double sum(const double *a, long n) {
    double s0 = 0, s1 = 0, s2 = 0, s3 = 0, s4 = 0, s5 = 0, s6 = 0, s7 = 0;
    /* The compiler may not reorder a sum; 64 partial ones let it use its widest registers. */
    double parts[64] = {0};
    for (long i = 0; i + 64 <= n; i += 64)
        for (int k = 0; k < 64; k++) parts[k] += a[i + k];
    for (int k = 0; k < 64; k += 8) {
        s0 += parts[k]; s1 += parts[k + 1]; s2 += parts[k + 2]; s3 += parts[k + 3];
        s4 += parts[k + 4]; s5 += parts[k + 5]; s6 += parts[k + 6]; s7 += parts[k + 7];
    }
    return s0 + s1 + s2 + s3 + s4 + s5 + s6 + s7;
}

/* A loop, not a call of memcpy, which would bypass the caches where the C library thinks fit. */
__attribute__((optimize("no-tree-loop-distribute-patterns")))
static void copy(double *restrict a, const double *restrict b, long n) {
    for (long i = 0; i < n; i++) a[i] = b[i];
}

static void triad(double *restrict a, const double *restrict b, const double *restrict c, long n) {
    for (long i = 0; i < n; i++) a[i] = b[i] + 3.0 * c[i];
}

static void *work(void *argument) {
    long thread = (long)argument;
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(thread, &set);
    sched_setaffinity(0, sizeof set, &set);
    size_t bytes = (size_t)arrays * length * sizeof(double);
    double *a = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (a == MAP_FAILED) exit(3);
    madvise(a, bytes, MADV_HUGEPAGE);
    for (long i = 0; i < arrays * length; i++) a[i] = 1.0;
    double *b = a + length, *c = a + 2 * length;
    double began = 0;
    for (;;) {
        pthread_barrier_wait(&barrier);
        if (began == 0) began = now();
        starts[thread] = now();
        if (kernel == 'r') sums[thread] += sum(a, length);
        else if (kernel == 'c') copy(a, b, length);
        else triad(a, b, c, length);
        ends[thread] = now();
        pthread_barrier_wait(&barrier);
        if (thread == 0) {
            double start = starts[0], end = ends[0];
            for (int i = 1; i < threads; i++) {
                if (starts[i] < start) start = starts[i];
                if (ends[i] > end) end = ends[i];
            }
            rates[passes++] = (double)bytes * threads / (end - start);
            over = now() - began > seconds || passes == MOST_PASSES;
        }
        pthread_barrier_wait(&barrier);
        if (over) return NULL;
    }
}

static int order(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

int main(int count, char **words) {
    if (count != 5) return 2;
    threads = atoi(words[1]);
    kernel = words[4][0];
    arrays = kernel == 'r' ? 1 : kernel == 'c' ? 2 : 3;
    length = atol(words[2]) / 8 / arrays / (threads > 0 ? threads : 1) / 64 * 64;
    seconds = atof(words[3]);
    if (threads < 1 || threads > MOST_THREADS || length < 64) return 2;
    pthread_barrier_init(&barrier, NULL, threads);
    pthread_t ids[MOST_THREADS];
    for (long i = 0; i < threads; i++) pthread_create(&ids[i], NULL, work, (void *)i);
    for (int i = 0; i < threads; i++) pthread_join(ids[i], NULL);
    /* The first pass meets cold pages. */
    qsort(rates + 1, passes > 1 ? passes - 1 : 0, sizeof *rates, order);
    printf("%.0f\n", passes > 1 ? rates[1 + (passes - 1) / 2] : rates[0]);
    double check = 0;
    for (int i = 0; i < threads; i++) check += sums[i];
    return check < 0;
}
