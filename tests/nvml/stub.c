/* A driver's library with four cards, for tests without any: an ordinary one, one that is cut into
 * instances, one of a virtual machine that supports nothing but its name, and one that is lost.
 * With -DMISMATCH it does not start, with -DBUSY more of the first one's memory is used every next time. Only what the program asks is here. */

#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { OK = 0, INVALID = 2, UNSUPPORTED = 3, NOT_FOUND = 6, SMALL = 7, LOST = 15, MISMATCH_ = 18 };
enum { PLAIN = 1, CUT = 2, VIRTUAL = 3, GONE = 4, INSTANCE = 5 };
enum { CARDS = 4 };

typedef uintptr_t device;
typedef struct { char legacy[16]; unsigned domain, bus, device, id, subsystem; char address[32]; } pci;
typedef struct { unsigned version; unsigned long long total, reserved, free, used; } memory;
typedef struct { unsigned pid; unsigned long long bytes; unsigned gpu, compute; } process;

/* What a card that answers nothing answers; 0 for the others. */
static int refuses(device card) {
    if (card == VIRTUAL) return UNSUPPORTED;
    return card == GONE ? LOST : OK;
}

#define ANSWER(card) do { int why = refuses(card); if (why) return why; } while (0)

int nvmlInit_v2(void) {
#ifdef MISMATCH
    return MISMATCH_;
#else
    return OK;
#endif
}
int nvmlShutdown(void) { return OK; }
int nvmlSystemGetDriverVersion(char *text, unsigned length) {
    return snprintf(text, length, "550.54.14") > 0 ? OK : INVALID;
}
int nvmlSystemGetCudaDriverVersion_v2(int *version) { *version = 12040; return OK; }
int nvmlDeviceGetCount_v2(unsigned *count) { *count = CARDS; return OK; }
int nvmlDeviceGetHandleByIndex_v2(unsigned index, device *card) {
    if (index >= CARDS) return INVALID;
    *card = index + 1;
    return OK;
}
int nvmlDeviceGetName(device card, char *text, unsigned length) {
    static const char *names[] = {"", "NVIDIA GeForce RTX 4090", "NVIDIA H100 80GB HBM3",
                                  "GRID A100-10C", "", "NVIDIA H100 80GB HBM3 MIG 3g.40gb"};
    if (card == GONE) return LOST;
    return snprintf(text, length, "%s", names[card]) > 0 ? OK : INVALID;
}
int nvmlDeviceGetPciInfo_v3(device card, pci *info) {
    if (card == GONE) return LOST;
    memset(info, 0, sizeof *info);
    snprintf(info->address, sizeof info->address, "00000000:%02X:00.0", (unsigned)card * 16 + 11);
    return OK;
}
int nvmlDeviceGetMemoryInfo_v2(device card, memory *info) {
    ANSWER(card);
    info->total = (card == PLAIN ? 24ULL : card == CUT ? 80ULL : 40ULL) << 30;
    info->used = 1ULL << 30;
#ifdef BUSY
    /* Somebody comes and takes 4 GiB more. */
    static int asked;
    if (card == PLAIN) info->used = (asked++ == 0 ? 1ULL : 5ULL) << 30;
#endif
    info->reserved = 0;
    info->free = info->total - info->used;
    return OK;
}
int nvmlDeviceGetCudaComputeCapability(device card, int *major, int *minor) {
    ANSWER(card);
    *major = card == PLAIN ? 8 : 9;
    *minor = card == PLAIN ? 9 : 0;
    return OK;
}
int nvmlDeviceGetCurrPcieLinkGeneration(device card, unsigned *value) { ANSWER(card); *value = 1; return OK; }
int nvmlDeviceGetCurrPcieLinkWidth(device card, unsigned *value) { ANSWER(card); *value = 8; return OK; }
int nvmlDeviceGetMaxPcieLinkGeneration(device card, unsigned *value) { ANSWER(card); *value = 4; return OK; }
int nvmlDeviceGetMaxPcieLinkWidth(device card, unsigned *value) { ANSWER(card); *value = 16; return OK; }
int nvmlDeviceGetEnforcedPowerLimit(device card, unsigned *value) { ANSWER(card); *value = 350000; return OK; }
int nvmlDeviceGetPowerManagementDefaultLimit(device card, unsigned *value) { ANSWER(card); *value = 450000; return OK; }
int nvmlDeviceGetClockInfo(device card, unsigned kind, unsigned *value) {
    ANSWER(card);
    *value = kind == 2 ? 405 : 210;
    return OK;
}
int nvmlDeviceGetMaxClockInfo(device card, unsigned kind, unsigned *value) {
    ANSWER(card);
    *value = kind == 2 ? 10501 : 3105;
    return OK;
}
int nvmlDeviceGetUtilizationRates(device card, unsigned *rates) {
    ANSWER(card);
    rates[0] = card == PLAIN ? 75 : 0;
    rates[1] = 20;
    return OK;
}
/* Sent by the card (0), received by it (1), in thousands of bytes each second. */
int nvmlDeviceGetPcieThroughput(device card, unsigned counter, unsigned *value) {
    ANSWER(card);
    if (card != PLAIN) return UNSUPPORTED;
    *value = counter == 1 ? 3000000 : 1000000;
    return OK;
}
int nvmlDeviceGetPowerUsage(device card, unsigned *value) { ANSWER(card); *value = 212500; return OK; }
int nvmlDeviceGetTemperature(device card, unsigned kind, unsigned *value) {
    ANSWER(card);
    (void)kind;
    *value = 64;
    return OK;
}
/* Idle (1) and held by the power limit (4). */
int nvmlDeviceGetCurrentClocksThrottleReasons(device card, unsigned long long *bits) {
    ANSWER(card);
    *bits = card == PLAIN ? 5 : 1;
    return OK;
}
int nvmlDeviceGetPersistenceMode(device card, unsigned *on) { ANSWER(card); *on = card == CUT; return OK; }
int nvmlDeviceGetEccMode(device card, unsigned *now, unsigned *later) {
    ANSWER(card);
    if (card == PLAIN) return UNSUPPORTED;
    *now = *later = 1;
    return OK;
}
int nvmlDeviceGetMigMode(device card, unsigned *now, unsigned *later) {
    ANSWER(card);
    if (card == PLAIN) return UNSUPPORTED;
    *now = *later = 1;
    return OK;
}
int nvmlDeviceGetMaxMigDeviceCount(device card, unsigned *count) { ANSWER(card); *count = 7; return OK; }
int nvmlDeviceGetMigDeviceHandleByIndex(device card, unsigned index, device *instance) {
    ANSWER(card);
    if (index != 0 && index != 2) return NOT_FOUND;
    *instance = INSTANCE;
    return OK;
}
int nvmlDeviceGetComputeRunningProcesses_v3(device card, unsigned *count, process *list) {
    ANSWER(card);
    unsigned room = *count;
    *count = card == PLAIN;
    if (card != PLAIN) return OK;
    if (room < 1 || !list) return SMALL;
    list[0] = (process){4242, 1ULL << 30, ~0u, ~0u};
    return OK;
}
int nvmlDeviceGetGraphicsRunningProcesses_v3(device card, unsigned *count, process *list) {
    return nvmlDeviceGetComputeRunningProcesses_v3(card, count, list);
}
int nvmlSystemGetProcessName(unsigned pid, char *text, unsigned length) {
    if (pid != 4242) return NOT_FOUND;
    return snprintf(text, length, "/opt/llama/llama-server") > 0 ? OK : INVALID;
}
