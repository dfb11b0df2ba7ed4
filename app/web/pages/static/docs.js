// A file of its own: the page's Content-Security-Policy allows no inline script.
SwaggerUIBundle({
  url: "openapi.json", // beside the page, wherever a proxy has put both
  dom_id: "#swagger-ui",
  deepLinking: true,
  validatorUrl: null, // the default asks a server on the internet about the document
});
