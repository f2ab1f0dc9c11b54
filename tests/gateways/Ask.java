import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;

/** Asks with Java's default client, which offers HTTP/2 with every request that is not encrypted. */
public class Ask {
    private static final HttpClient CLIENT = HttpClient.newHttpClient();

    public static void main(String[] arguments) throws Exception {
        String url = arguments[0];
        String tenant = arguments[1];
        String token = arguments[2];
        String question = "{\"token\":\"" + token + "\"}";
        StringBuilder batch = new StringBuilder("{\"tokens\":[\"" + token + "\"");
        for (int number = 1; number < 100; number++) {
            batch.append(",\"").append(token).append('"');
        }
        batch.append("]}");
        for (int round = 0; round < 3; round++) {
            ask(request(url + "/health/live").GET());
            ask(request(url + "/auth/verify", tenant).POST(BodyPublishers.ofString(question)));
            ask(request(url + "/auth/verify/batch", tenant).POST(BodyPublishers.ofString(batch.toString())));
            // Of unknown length, so it is sent in chunks.
            ask(request(url + "/auth/verify", tenant)
                .POST(BodyPublishers.fromPublisher(BodyPublishers.ofString(question))));
            ask(request(url + "/auth/verify", tenant).expectContinue(true).POST(BodyPublishers.ofString(question)));
            ask(request(url + "/forward-auth", token).header("X-Doorward-Key", tenant).GET());
            ask(request(url + "/user/nobody", tenant).DELETE());
        }
    }

    private static HttpRequest.Builder request(String url) {
        return HttpRequest.newBuilder(URI.create(url));
    }

    private static HttpRequest.Builder request(String url, String credential) {
        return request(url).header("Authorization", "Bearer " + credential).header("Content-Type", "application/json");
    }

    private static void ask(HttpRequest.Builder request) throws Exception {
        HttpResponse<String> answer = CLIENT.send(request.build(), BodyHandlers.ofString());
        System.out.println(answer.version() + " " + answer.statusCode());
    }
}
