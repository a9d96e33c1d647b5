# Behaves like docker.io/bytebase/dbhub: same entry point, folder, port and (no) user.
ARG BASE
FROM ${BASE}
COPY root/ /
USER 0:0
WORKDIR /app
ENV NODE_ENV=production
EXPOSE 8080
ENTRYPOINT ["node", "dist/index.js"]
