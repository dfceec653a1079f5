import java.nio.file.FileAlreadyExistsException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.concurrent.TimeUnit;
import org.apache.curator.framework.CuratorFramework;
import org.apache.curator.framework.CuratorFrameworkFactory;
import org.apache.curator.framework.recipes.locks.InterProcessSemaphoreMutex;
import org.apache.curator.retry.ExponentialBackoffRetry;

/**
 * Takes Curator's InterProcessSemaphoreMutex again and again, as Tranquility
 * does; mutex_user.c beside it does the same with ours.
 *
 *   MutexUser CONNECT PATH ROUNDS HOLD_MS FILE
 *
 * FILE is made by whoever is inside and removed on leaving: when it is there
 * already, two are inside. FILE.turns gets a letter a turn. Prints the nodes it
 * sees under the mutex once.
 */
public final class MutexUser
{
	public static void main(String[] args) throws Exception
	{
		String path = args[1];
		int rounds = Integer.parseInt(args[2]);
		int holdMs = Integer.parseInt(args[3]);
		Path file = Path.of(args[4]);
		int violations = 0;

		try (CuratorFramework curator = CuratorFrameworkFactory.newClient(
				args[0], 20000, 15000, new ExponentialBackoffRetry(100, 5))) {
			curator.start();
			InterProcessSemaphoreMutex mutex =
				new InterProcessSemaphoreMutex(curator, path);
			for (int i = 0; i < rounds; i++) {
				if (!mutex.acquire(60, TimeUnit.SECONDS)) {
					System.out.println("java: not within 60 s");
					System.exit(3);
				}
				try {
					try {
						Files.createFile(file);
					} catch (FileAlreadyExistsException e) {
						violations++;
					}
					Files.writeString(Path.of(args[4] + ".turns"), "j",
						StandardOpenOption.CREATE, StandardOpenOption.APPEND);
					if (i == rounds / 2) {
						System.out.println("java: leases " + curator.getChildren().forPath(path + "/leases"));
						System.out.println("java: locks  " + curator.getChildren().forPath(path + "/locks"));
					}
					Thread.sleep(holdMs);
					Files.deleteIfExists(file);
				} finally {
					mutex.release();
				}
			}
		}
		System.out.println("java: " + rounds + " rounds, " + violations + " violations");
		System.exit(violations == 0 ? 0 : 1);
	}
}
