/*
 * A stand-in for NVIDIA's management library, for tests that must run where
 * there is no NVIDIA driver. Build it under the name the loader looks for:
 *
 *   cc -shared -fPIC -Wl,-soname,libnvidia-ml.so.1 \
 *      -o DIR/libnvidia-ml.so.1 stub.c
 *
 * The environment variable NVML_STUB picks the behaviour and is read anew at
 * each call, so a test may change it between two samples:
 *
 *   ok           two devices: 0 has 80 GiB, 60 GiB of it used; 1 has 24 GiB,
 *                1 GiB of it used (also what an unset variable means)
 *   no-driver    every call but the shutdown answers DRIVER_NOT_LOADED
 *   none         no devices: the count is 0 and no index is valid
 *   lost         memory queries answer GPU_IS_LOST
 *   denied       memory queries answer NO_PERMISSION
 *   unsupported  memory queries answer NOT_SUPPORTED, as unified-memory
 *                devices do
 *   mig          device 0 is split into instances: its MIG mode is enabled and
 *                its own memory query answers NO_PERMISSION, as it does to an
 *                unprivileged caller; instance 0 (20 GiB, 5 GiB used) can be
 *                queried through its handle; device 1 is as under ok
 *   zero         memory queries succeed with every figure 0
 *   hang         memory queries sleep for 60 seconds, then answer as under ok
 *   garbage      memory queries succeed with used and free far above total
 *
 * Any other value makes every call but the shutdown answer UNKNOWN, so that a
 * misspelt one is not mistaken for a pass.
 *
 * The declarations below follow the public header of the library; only what
 * the tests can reach is here.
 */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define API __attribute__((visibility("default")))

typedef unsigned int nvmlReturn_t;

enum {
	SUCCESS = 0,
	UNINITIALIZED = 1,
	INVALID_ARGUMENT = 2,
	NOT_SUPPORTED = 3,
	NO_PERMISSION = 4,
	NOT_FOUND = 6,
	INSUFFICIENT_SIZE = 7,
	DRIVER_NOT_LOADED = 9,
	GPU_IS_LOST = 15,
	ARGUMENT_VERSION_MISMATCH = 25,
	UNKNOWN = 999
};

typedef struct {
	unsigned long long total;
	unsigned long long free;
	unsigned long long used;
} nvmlMemory_t;

typedef struct {
	unsigned int version;
	unsigned long long total;
	unsigned long long reserved;
	unsigned long long free;
	unsigned long long used;
} nvmlMemory_v2_t;

typedef struct {
	char busIdLegacy[16];
	unsigned int domain;
	unsigned int bus;
	unsigned int device;
	unsigned int pciDeviceId;
	unsigned int pciSubSystemId;
	char busId[32];
} nvmlPciInfo_t;

#define MEMORY_V2 ((unsigned int)(sizeof(nvmlMemory_v2_t) | (2u << 24)))

_Static_assert(sizeof(nvmlMemory_t) == 24, "nvmlMemory_t");
_Static_assert(sizeof(nvmlMemory_v2_t) == 40, "nvmlMemory_v2_t");
_Static_assert(offsetof(nvmlMemory_v2_t, total) == 8, "total");
_Static_assert(offsetof(nvmlMemory_v2_t, used) == 32, "used");
_Static_assert(sizeof(nvmlPciInfo_t) == 68, "nvmlPciInfo_t");

#define GIB (1024ull * 1024 * 1024)
#define MAX_MIG_DEVICES 7u

struct device {
	const char *name;
	const char *uuid;
	unsigned int index;
	int is_mig;
	unsigned long long total;
	unsigned long long used;
};

typedef struct device *nvmlDevice_t;

static struct device devices[] = {
	{ "Stub 80 GiB", "GPU-00000000-0000-0000-0000-000000000000", 0, 0,
	  80 * GIB, 60 * GIB },
	{ "Stub 24 GiB", "GPU-11111111-1111-1111-1111-111111111111", 1, 0,
	  24 * GIB, 1 * GIB },
};

static struct device mig_instance = {
	"Stub 80 GiB MIG 2g.20gb", "MIG-22222222-2222-2222-2222-222222222222",
	0, 1, 20 * GIB, 5 * GIB
};

enum mode {
	MODE_OK, MODE_NO_DRIVER, MODE_NONE, MODE_LOST, MODE_DENIED,
	MODE_UNSUPPORTED, MODE_MIG, MODE_ZERO, MODE_HANG, MODE_GARBAGE,
	MODE_UNKNOWN
};

static atomic_int initialised;

static enum mode mode(void)
{
	static const char *const names[] = {
		"ok", "no-driver", "none", "lost", "denied",
		"unsupported", "mig", "zero", "hang", "garbage"
	};
	const char *value = getenv("NVML_STUB");

	if (value == NULL)
		return MODE_OK;
	for (int i = 0; i < MODE_UNKNOWN; i++)
		if (strcmp(value, names[i]) == 0)
			return (enum mode)i;
	return MODE_UNKNOWN;
}

/* What a call answers before it looks at its arguments. */
static nvmlReturn_t ready(void)
{
	if (atomic_load(&initialised) <= 0)
		return UNINITIALIZED;
	switch (mode()) {
	case MODE_NO_DRIVER:
		return DRIVER_NOT_LOADED;
	case MODE_UNKNOWN:
		return UNKNOWN;
	default:
		return SUCCESS;
	}
}

static unsigned int device_count(void)
{
	return mode() == MODE_NONE ? 0 : sizeof(devices) / sizeof(devices[0]);
}

static int known(nvmlDevice_t device)
{
	return device == &devices[0] || device == &devices[1] ||
	       device == &mig_instance;
}

static int is_mig_parent(nvmlDevice_t device)
{
	return mode() == MODE_MIG && device == &devices[0];
}

/* `ready`, and a handle that this library gave out. */
static nvmlReturn_t ready_for(nvmlDevice_t device)
{
	nvmlReturn_t answer = ready();

	if (answer != SUCCESS)
		return answer;
	return known(device) ? SUCCESS : INVALID_ARGUMENT;
}

static nvmlReturn_t copy_out(char *to, unsigned int length, const char *from)
{
	if (to == NULL)
		return INVALID_ARGUMENT;
	if (strlen(from) >= length)
		return INSUFFICIENT_SIZE;
	strcpy(to, from);
	return SUCCESS;
}

static void sleep_through(time_t seconds)
{
	struct timespec left = { .tv_sec = seconds };

	while (nanosleep(&left, &left) == -1 && errno == EINTR)
		;
}

static nvmlReturn_t memory_of(nvmlDevice_t device, nvmlMemory_t *out)
{
	nvmlMemory_t figures = { device->total, device->total - device->used,
				 device->used };

	switch (mode()) {
	case MODE_LOST:
		return GPU_IS_LOST;
	case MODE_DENIED:
		return NO_PERMISSION;
	case MODE_UNSUPPORTED:
		return NOT_SUPPORTED;
	case MODE_MIG:
		if (is_mig_parent(device))
			return NO_PERMISSION;
		break;
	case MODE_ZERO:
		memset(&figures, 0, sizeof(figures));
		break;
	case MODE_HANG:
		sleep_through(60);
		break;
	case MODE_GARBAGE:
		figures.used = ~0ull;
		figures.free = ~0ull - 1;
		break;
	default:
		break;
	}
	*out = figures;
	return SUCCESS;
}

/* Library */

API nvmlReturn_t nvmlInitWithFlags(unsigned int flags)
{
	(void)flags;
	switch (mode()) {
	case MODE_NO_DRIVER:
		return DRIVER_NOT_LOADED;
	case MODE_UNKNOWN:
		return UNKNOWN;
	default:
		atomic_fetch_add(&initialised, 1);
		return SUCCESS;
	}
}

API nvmlReturn_t nvmlInit_v2(void)
{
	return nvmlInitWithFlags(0);
}

API nvmlReturn_t nvmlShutdown(void)
{
	int count = atomic_load(&initialised);

	do {
		if (count <= 0)
			return UNINITIALIZED;
	} while (!atomic_compare_exchange_weak(&initialised, &count, count - 1));
	return SUCCESS;
}

API const char *nvmlErrorString(nvmlReturn_t code)
{
	return code == SUCCESS ? "Success" : "Stub error";
}

API nvmlReturn_t nvmlSystemGetDriverVersion(char *version, unsigned int length)
{
	nvmlReturn_t answer = ready();

	return answer != SUCCESS ? answer : copy_out(version, length, "580.95.05");
}

API nvmlReturn_t nvmlSystemGetNVMLVersion(char *version, unsigned int length)
{
	/* The real library answers this one without being initialised. */
	return copy_out(version, length, "13.580.95.05");
}

/* Finding devices */

API nvmlReturn_t nvmlDeviceGetCount_v2(unsigned int *count)
{
	nvmlReturn_t answer = ready();

	if (answer != SUCCESS)
		return answer;
	if (count == NULL)
		return INVALID_ARGUMENT;
	*count = device_count();
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetHandleByIndex_v2(unsigned int index,
					       nvmlDevice_t *device)
{
	nvmlReturn_t answer = ready();

	if (answer != SUCCESS)
		return answer;
	if (device == NULL || index >= device_count())
		return INVALID_ARGUMENT;
	*device = &devices[index];
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetHandleByUUID(const char *uuid,
					   nvmlDevice_t *device)
{
	nvmlReturn_t answer = ready();

	if (answer != SUCCESS)
		return answer;
	if (uuid == NULL || device == NULL)
		return INVALID_ARGUMENT;
	for (unsigned int i = 0; i < device_count(); i++) {
		if (strcmp(uuid, devices[i].uuid) == 0) {
			*device = &devices[i];
			return SUCCESS;
		}
	}
	if (mode() == MODE_MIG && strcmp(uuid, mig_instance.uuid) == 0) {
		*device = &mig_instance;
		return SUCCESS;
	}
	return NOT_FOUND;
}

/* Asking a device */

API nvmlReturn_t nvmlDeviceGetIndex(nvmlDevice_t device, unsigned int *index)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (index == NULL)
		return INVALID_ARGUMENT;
	*index = device->index;
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetName(nvmlDevice_t device, char *name,
				   unsigned int length)
{
	nvmlReturn_t answer = ready_for(device);

	return answer != SUCCESS ? answer
				 : copy_out(name, length, device->name);
}

API nvmlReturn_t nvmlDeviceGetUUID(nvmlDevice_t device, char *uuid,
				   unsigned int length)
{
	nvmlReturn_t answer = ready_for(device);

	return answer != SUCCESS ? answer
				 : copy_out(uuid, length, device->uuid);
}

API nvmlReturn_t nvmlDeviceGetPciInfo_v3(nvmlDevice_t device,
					 nvmlPciInfo_t *pci)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (pci == NULL)
		return INVALID_ARGUMENT;
	memset(pci, 0, sizeof(*pci));
	pci->bus = device->index + 1;
	pci->pciDeviceId = 0x10de;
	snprintf(pci->busIdLegacy, sizeof(pci->busIdLegacy),
		 "0000:%02X:00.0", pci->bus & 0xff);
	snprintf(pci->busId, sizeof(pci->busId),
		 "00000000:%02X:00.0", pci->bus & 0xff);
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMemoryInfo(nvmlDevice_t device,
					 nvmlMemory_t *memory)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (memory == NULL)
		return INVALID_ARGUMENT;
	return memory_of(device, memory);
}

API nvmlReturn_t nvmlDeviceGetMemoryInfo_v2(nvmlDevice_t device,
					    nvmlMemory_v2_t *memory)
{
	nvmlMemory_t figures;
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (memory == NULL)
		return INVALID_ARGUMENT;
	if (memory->version != MEMORY_V2)
		return ARGUMENT_VERSION_MISMATCH;
	answer = memory_of(device, &figures);
	if (answer != SUCCESS)
		return answer;
	memory->total = figures.total;
	memory->reserved = 0;
	memory->free = figures.free;
	memory->used = figures.used;
	return SUCCESS;
}

/* Devices split into instances */

API nvmlReturn_t nvmlDeviceGetMigMode(nvmlDevice_t device,
				      unsigned int *current,
				      unsigned int *pending)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (current == NULL || pending == NULL)
		return INVALID_ARGUMENT;
	/* Device 1 is of a kind that cannot be split. */
	if (device != &devices[0])
		return NOT_SUPPORTED;
	*current = *pending = is_mig_parent(device);
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMaxMigDeviceCount(nvmlDevice_t device,
						unsigned int *count)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (count == NULL)
		return INVALID_ARGUMENT;
	*count = is_mig_parent(device) ? MAX_MIG_DEVICES : 0;
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceGetMigDeviceHandleByIndex(nvmlDevice_t device,
						     unsigned int index,
						     nvmlDevice_t *instance)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (!is_mig_parent(device))
		return NOT_SUPPORTED;
	if (instance == NULL || index >= MAX_MIG_DEVICES)
		return INVALID_ARGUMENT;
	if (index != 0)
		return NOT_FOUND;
	*instance = &mig_instance;
	return SUCCESS;
}

API nvmlReturn_t
nvmlDeviceGetDeviceHandleFromMigDeviceHandle(nvmlDevice_t instance,
					     nvmlDevice_t *device)
{
	nvmlReturn_t answer = ready_for(instance);

	if (answer != SUCCESS)
		return answer;
	if (device == NULL || !instance->is_mig)
		return INVALID_ARGUMENT;
	*device = &devices[0];
	return SUCCESS;
}

API nvmlReturn_t nvmlDeviceIsMigDeviceHandle(nvmlDevice_t device,
					     unsigned int *is_mig)
{
	nvmlReturn_t answer = ready_for(device);

	if (answer != SUCCESS)
		return answer;
	if (is_mig == NULL)
		return INVALID_ARGUMENT;
	*is_mig = (unsigned int)device->is_mig;
	return SUCCESS;
}
