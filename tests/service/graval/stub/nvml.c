// A STUB of NVIDIA's management library, for tests of whoever binds it. GPUs go by the first digit of their uuid:
// a: well, b: cut into slices, c: used by three processes, d: an old card without slices, e: lost.
#include <string.h>

int nvmlInit_v2(void) { return 0; }
int nvmlShutdown(void) { return 0; }

int nvmlSystemGetDriverVersion(char* version, unsigned length) {
    strncpy(version, "580.00", length);
    return 0;
}

int nvmlDeviceGetHandleByUUID(const char* uuid, const char** device) {
    if (strncmp(uuid, "GPU-", 4) != 0 || uuid[12] != '-') return 2;
    *device = uuid[4] == 'a' ? "a" : uuid[4] == 'b' ? "b" : uuid[4] == 'c' ? "c" : "d";
    return uuid[4] == 'e' ? 15 : 0;
}

int nvmlDeviceGetMigMode(const char* device, unsigned* current, unsigned* pending) {
    *current = *pending = *device == 'b';
    return *device == 'd' ? 3 : 0;
}

int nvmlDeviceGetComputeRunningProcesses_v3(const char* device, unsigned* count, void* processes) {
    (void)processes;
    *count = *device == 'c' ? 3 : 0;
    return *count ? 7 : 0;
}
