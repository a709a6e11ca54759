/*
 * Machine types (PE specification, "Machine Types"): names and word sizes.
 */
#include "pe/internal.h"

static const struct {
    uint16_t machine;
    uint8_t pointer_size;
    const char *name;
} machines[] = {
    {IMAGE_FILE_MACHINE_I386, 4, "i386"},
    {IMAGE_FILE_MACHINE_AMD64, 8, "amd64"},
    {IMAGE_FILE_MACHINE_ARM64, 8, "arm64"},
    {IMAGE_FILE_MACHINE_ARMNT, 4, "armnt"},
    {IMAGE_FILE_MACHINE_ARM, 4, "arm"},
    {IMAGE_FILE_MACHINE_THUMB, 4, "thumb"},
    {IMAGE_FILE_MACHINE_R4000, 4, "r4000"},
    {IMAGE_FILE_MACHINE_IA64, 8, "ia64"},
    {IMAGE_FILE_MACHINE_EBC, 0, "ebc"}, /* byte code: either form exists */
    {IMAGE_FILE_MACHINE_RISCV32, 4, "riscv32"},
    {IMAGE_FILE_MACHINE_RISCV64, 8, "riscv64"},
    {IMAGE_FILE_MACHINE_LOONGARCH32, 4, "loongarch32"},
    {IMAGE_FILE_MACHINE_LOONGARCH64, 8, "loongarch64"},
};

const char *pe_machine_name(uint16_t machine)
{
    for (size_t i = 0; i < PE_ARRAY_SIZE(machines); i++)
        if (machines[i].machine == machine)
            return machines[i].name;
    return "unknown";
}

bool pe_machine_has_pointer_size(uint16_t machine, uint32_t pointer_size)
{
    for (size_t i = 0; i < PE_ARRAY_SIZE(machines); i++)
        if (machines[i].machine == machine)
            return !machines[i].pointer_size || machines[i].pointer_size == pointer_size;
    return false;
}
