import java.util.Random;
import org.apache.druid.java.util.common.granularity.DurationGranularity;
import org.apache.druid.java.util.common.granularity.Granularity;
import org.apache.druid.java.util.common.granularity.PeriodGranularity;
import org.joda.time.DateTime;
import org.joda.time.DateTimeZone;
import org.joda.time.Period;

/* Buckets as Druid's own classes cut them; see README. */
public class Vectors {
    static final Random random = new Random(20260101);
    static final String[] ZONES = {"UTC", "America/Los_Angeles",
        "Europe/Paris", "Europe/London", "Asia/Kolkata", "Asia/Kathmandu",
        "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Amman",
        "America/Havana", "Pacific/Apia", "Africa/Casablanca",
        "America/St_Johns", "Pacific/Auckland", "+05:30", "-03:00"};
    static final String[] PERIODS = {"PT1S", "PT20S", "PT1M", "PT7M", "PT15M",
        "PT1H", "PT90M", "PT2H", "PT6H", "PT1H30M", "P1D", "P2D", "P1W", "P2W",
        "P1M", "P2M", "P3M", "P12M", "P1Y", "P5Y"};
    static final String[] ORIGINS = {null, "2012-01-02T05:00:00Z",
        "2019-05-28T23:30:00+02:00", "1968-02-01T00:00:00Z"};
    static final long FROM = DateTime.parse("2004-01-01T00Z").getMillis();
    static final long TO = DateTime.parse("2022-06-01T00Z").getMillis();

    static long[] times(DateTimeZone zone) {
        long[] times = new long[4];
        for (int i = 0; i < times.length; i++) {
            long t = FROM + (long) (random.nextDouble() * (TO - FROM));
            long change = zone.nextTransition(t);
            if (i % 4 == 1)
                t = new DateTime(t, zone).withTimeAtStartOfDay().getMillis()
                    - random.nextInt(2);
            else if (i % 4 != 0 && change != t)
                t = change + random.nextInt(8 * 3600000) - 4 * 3600000;
            else if (i % 4 == 3)
                t = new DateTime(t, zone).withDayOfMonth(1)
                    .withTimeAtStartOfDay().getMillis() - random.nextInt(2);
            times[i] = t;
        }
        return times;
    }

    /* zone: null when hours that come twice are two hours */
    static long earlier(long t, DateTimeZone zone) {
        return zone == null ? t
            : new DateTime(t, zone).withEarlierOffsetAtOverlap().getMillis();
    }

    static void print(Granularity g, long t, DateTimeZone zone) {
        long start = g.bucketStart(t), again = g.bucketStart(start);
        long end = g.increment(start), next = g.bucketStart(end);
        boolean overlaps = again != start || next != end;

        start = earlier(again, zone);
        if (again != start || overlaps) {
            overlaps = true;
            end = g.increment(start);
            next = g.bucketStart(end);
        }
        if (next > start)
            end = earlier(next, zone);
        if (t < start || t >= end)
            System.out.println("# not in its bucket: " + t);
        else
            System.out.println(t + " " + (t - start) + " " + (end - start)
                + (overlaps ? " overlaps" : ""));
    }

    public static void main(String[] args) {
        for (String z : ZONES)
            for (String p : PERIODS)
                for (String o : ORIGINS) {
                    DateTimeZone zone = DateTimeZone.forID(z);
                    DateTime origin = o == null ? null : DateTime.parse(o);
                    System.out.println("{\"type\":\"period\",\"period\":\"" + p
                        + "\",\"timeZone\":\"" + z + "\""
                        + (o == null ? "" : ",\"origin\":\"" + o + "\"") + "}");
                    for (long t : times(zone))
                        print(new PeriodGranularity(new Period(p), origin,
                            zone), t, p.startsWith("PT") ? null : zone);
                }
        for (long ms : new long[] {1, 1000, 3600000, 5400000, 604800000})
            for (String o : ORIGINS) {
                System.out.println("{\"type\":\"duration\",\"duration\":" + ms
                    + (o == null ? "" : ",\"origin\":\"" + o + "\"") + "}");
                for (long t : times(DateTimeZone.UTC))
                    print(new DurationGranularity(ms,
                        o == null ? null : DateTime.parse(o)), t,
                        null);
            }
    }
}
