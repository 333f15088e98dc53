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

// Sensor 0 is on the chip; the old card has none that the driver reads.
int nvmlDeviceGetTemperature(const char* device, unsigned sensor, unsigned* celsius) {
    *celsius = 41;
    return *device == 'd' ? 3 : sensor == 0 ? 0 : 2;
}

int nvmlDeviceGetPowerUsage(const char* device, unsigned* milliwatts) {
    *milliwatts = 123400;
    return *device == 'd' ? 3 : 0;
}

int nvmlDeviceGetEnforcedPowerLimit(const char* device, unsigned* milliwatts) {
    *milliwatts = 700000;
    return *device == 'd' ? 3 : 0;
}

// Kind 1 is the clock of the processors.
int nvmlDeviceGetClockInfo(const char* device, unsigned kind, unsigned* megahertz) {
    *megahertz = *device == 'd' ? 900 : 1980;
    return kind == 1 ? 0 : 2;
}
