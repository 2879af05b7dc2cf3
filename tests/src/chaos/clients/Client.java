import java.io.IOException;
import java.net.*;
import java.util.concurrent.ThreadLocalRandom;

/**
 * Calls endpoints the way an application on a JVM does, one call of a thread after the other. Arguments and
 * lines are those of client.py.
 */
public final class Client {
    private static String speech;
    private static int patience;

    public static void main(String[] arguments) throws Exception {
        System.setProperty("http.keepAlive", "false");
        speech = arguments[0];
        int workers = Integer.parseInt(arguments[2]);
        int period = Integer.parseInt(arguments[3]);
        patience = Integer.parseInt(arguments[4]);
        for (int at = 5; at < arguments.length; at++) {
            for (int worker = 0; worker < workers; worker++) {
                String target = arguments[at];
                new Thread(() -> life(target, period)).start();
            }
        }
    }

    private static void life(String target, int period) {
        try {
            Thread.sleep(ThreadLocalRandom.current().nextInt(period + 1));
            while (true) {
                long begun = System.nanoTime();
                String word = call(target);
                long took = (System.nanoTime() - begun) / 1000;
                synchronized (System.out) {
                    System.out.println(target + " " + word + " " + took + " " + took);
                    System.out.flush();
                }
                Thread.sleep(Math.max(0, period - took / 1000));
            }
        } catch (InterruptedException end) {
            Thread.currentThread().interrupt();
        }
    }

    private static String call(String target) {
        try {
            return speech.equals("http") ? askHttp(target) : askRedis(target);
        } catch (NoRouteToHostException shed) {
            return "shed";
        } catch (ConnectException refused) {
            return "refused";
        } catch (SocketTimeoutException late) {
            return "timeout";
        } catch (IOException broken) {
            return "broken";
        }
    }

    private static String askHttp(String target) throws IOException {
        HttpURLConnection connection =
            (HttpURLConnection) URI.create("http://" + target + "/").toURL().openConnection();
        connection.setConnectTimeout(patience);
        connection.setReadTimeout(patience);
        if (connection.getResponseCode() >= 500) {
            return "failed";
        }
        try (var body = connection.getInputStream()) {
            body.readAllBytes();
        }
        return "ok";
    }

    private static String askRedis(String target) throws IOException {
        String[] parts = target.split(":");
        try (Socket socket = new Socket()) {
            socket.setSoTimeout(patience);
            socket.connect(new InetSocketAddress(parts[0], Integer.parseInt(parts[1])), patience);
            socket.getOutputStream().write("PING\r\n".getBytes());
            byte[] answer = new byte[64];
            int length = socket.getInputStream().read(answer);
            if (length < 0) {
                return "broken";
            }
            return new String(answer, 0, length).startsWith("+PONG") ? "ok" : "failed";
        }
    }
}
