/* SPDX-License-Identifier: MIT */
/* The table at the top of sessions/access.h, line by line, and STIR/SHAKEN header values. */
#include "sessions/access.h"

#include "tests/unit/t.h"

static struct access of(enum caller_level base, bool proven, bool memory, bool chats)
{
    struct access_filters f = {memory, chats};
    struct access a;

    access_of(&a, base, proven, &f);
    return a;
}

static void table(void)
{
    struct access a = of(CALLER_UNKNOWN, false, true, true);

    T_TRUE(!a.own_history && !a.private_memory && !a.own_chats && !a.shared_session);
    a = of(CALLER_UNKNOWN, true, false, false); /* neither a PIN nor open filters show a stranger anything */
    T_TRUE(!a.own_history && !a.private_memory && !a.own_chats && !a.words_to_memory);
    a = of(CALLER_KNOWN, false, true, true);
    T_TRUE(a.own_history && !a.private_memory && !a.own_chats && !a.shared_session);
    a = of(CALLER_KNOWN, true, true, true);
    T_TRUE(a.own_history && !a.private_memory && !a.own_chats);
    a = of(CALLER_KNOWN, false, false, true);
    T_TRUE(a.private_memory && !a.own_chats);
    a = of(CALLER_KNOWN, false, true, false);
    T_TRUE(!a.private_memory && a.own_chats && !a.shared_session);
    a = of(CALLER_LINKED, false, true, true);
    T_TRUE(a.own_history && a.private_memory && a.own_chats && a.shared_session && a.words_to_memory);
}

static void steering(void)
{
    struct access a = of(CALLER_UNKNOWN, false, false, false);

    T_TRUE(!a.transfer && !a.dial);
    a = of(CALLER_KNOWN, false, true, true);
    T_TRUE(a.transfer && !a.dial);
    a = of(CALLER_LINKED, false, false, false); /* a link is no proof */
    T_TRUE(a.transfer && !a.dial);
    a = of(CALLER_LINKED, true, true, true);
    T_TRUE(a.transfer && a.dial);
    a = of(CALLER_UNKNOWN, true, true, true);
    T_TRUE(a.transfer && a.dial);
}

static void attestation(void)
{
    T_EQ(access_attestation_read(STR("TN-Validation-Passed-A")), ATTEST_A);
    T_EQ(access_attestation_read(STR(" tn-validation-passed-b ")), ATTEST_B);
    T_EQ(access_attestation_read(STR("TN-Validation-Passed-C")), ATTEST_C);
    T_EQ(access_attestation_read(STR("TN-Validation-Passed")), ATTEST_C);
    T_EQ(access_attestation_read(STR("TN-Validation-Failed-A")), ATTEST_FAILED);
    T_EQ(access_attestation_read(STR("No-TN-Validation")), ATTEST_NONE);
    T_EQ(access_attestation_read(STR("")), ATTEST_NONE);
    T_EQ(access_attestation_read(STR("Passed-A")), ATTEST_NONE);
}

static void levels(void)
{
    T_EQ(access_attested(CALLER_LINKED, ATTEST_FAILED, true, "", ""), CALLER_UNKNOWN);
    T_EQ(access_attested(CALLER_LINKED, ATTEST_NONE, false, "", ""), CALLER_LINKED);
    T_EQ(access_attested(CALLER_LINKED, ATTEST_B, false, "", "A"), CALLER_KNOWN);
    T_EQ(access_attested(CALLER_LINKED, ATTEST_C, false, "B", "A"), CALLER_UNKNOWN);
    T_EQ(access_attested(CALLER_KNOWN, ATTEST_A, true, "A", "A"), CALLER_KNOWN);
    T_EQ(access_attested(CALLER_UNKNOWN, ATTEST_A, true, "", ""), CALLER_UNKNOWN);
}

int main(void)
{
    T_RUN(table);
    T_RUN(steering);
    T_RUN(attestation);
    T_RUN(levels);
    return T_DONE();
}
